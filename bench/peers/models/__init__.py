"""What the peers serve, each in its server's own way: the network of the bench, and text in capitals for the tests."""
