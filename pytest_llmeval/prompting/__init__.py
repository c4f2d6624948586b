"""From a Problem to what the model reads: the words around it, the chat template, the cut that makes it fit."""
