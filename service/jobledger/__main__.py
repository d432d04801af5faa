"""`python -m jobledger` is the command line."""

from jobledger.cli import main

if __name__ == "__main__":
    main()
