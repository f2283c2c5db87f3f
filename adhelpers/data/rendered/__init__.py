"""Rendered example images with exact masks."""
