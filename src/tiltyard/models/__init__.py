"""Model families: one file a family, each with a class named after it that can `build`."""
