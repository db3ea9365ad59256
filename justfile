# Every chore is a `cargo xtask`; these are only shorter to type.

default:
    @just --list

# Build the demo image and boot it
image *ARGS:
    cargo xtask build-image {{ARGS}}

# Run all tests
test *ARGS:
    cargo xtask test {{ARGS}}

# Formatting, lints, documentation
lint:
    cargo xtask lint

# Everything that CI runs
ci:
    cargo xtask ci

# Write the generated documentation
docs:
    cargo xtask docs

# Install what is missing
setup:
    cargo xtask setup

# A disk of TREE, beside other tools and the limit
bench TREE:
    cargo xtask bench disk {{TREE}}
