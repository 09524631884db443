"""Where the umbrella package looks for the server, to offer its tools among its own."""

from scitex_ssh.mcp.server import server

mcp = server()
