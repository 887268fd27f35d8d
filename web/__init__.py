"""The browser console: TypeScript sources, and the lines of Python that find its built files."""
