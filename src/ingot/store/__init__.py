"""What builds leave behind: layers, goldens, base images, download caches, and getting rid of them again."""
