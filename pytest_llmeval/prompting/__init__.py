"""From a Problem to what the model reads: words around it, chat template, the cut that makes it fit."""
