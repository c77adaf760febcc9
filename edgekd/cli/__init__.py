"""The command line. One file a command; what they print is drawn in `edgekd.cli.render`.

Importing this package imports nothing: `edgekd.cli.app` imports typer and nothing heavier, and a
command imports its stage when it runs.
"""
