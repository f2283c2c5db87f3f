"""What more than one room uses: files, checks, batches, stages, progress, quiet start, text."""
