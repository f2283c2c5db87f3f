"""AnoGAN: a DCGAN and the search for the latent vector whose image matches best."""
