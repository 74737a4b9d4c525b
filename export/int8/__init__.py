"""INT8: the synthesis graph with quantised convolutions, of a bundle that is there.

It works on the finished graph, so it needs no checkpoint, and knows of no family: a convolution is
what it is, and what scales its input stands before it. Everything around stays as it was.
"""
