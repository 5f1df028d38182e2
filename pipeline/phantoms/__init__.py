"""Small synthetic datasets in the raw layouts of the real ones: the embedded default, and what the tests run on."""
