"""The server: takes made live and as jobs, over HTTP and a WebSocket, and the page that uses them."""
