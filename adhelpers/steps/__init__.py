"""What notebooks and commands call: the whole way from images to an answer, step by step."""
