"""Ways to adapt a pretrained encoder to a labelled task: from a head on frozen features to training every weight."""
