"""What more than one room uses: files, progress, quiet start, checks."""
