"""Our vision-language models as the classes that transformers has for the published ones: one file a class."""
