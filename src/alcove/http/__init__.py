"""What the API and the web pages share of HTTP: the edge, who is calling, bodies, problems.

Knows no route of either. `edge` wraps everything, `access` tells who is calling, `problem` turns
errors into answers, `listener` is the server in front.
"""
