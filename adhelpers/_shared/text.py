"""Lists as people write them in a notebook's parameters."""


def listed(text):
    """The names in a text with commas between: tuple of str.

    Examples
    --------
    >>> listed("SHAP, residual map,")
    ('SHAP', 'residual map')
    """
    return tuple(name.strip() for name in str(text).split(",") if name.strip())
