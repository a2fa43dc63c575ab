#!/bin/bash
# Builds the operator: build.sh TARGET. The environment may name the compiler, GO, and a Python with grpcio-tools, PYTHON, whose protoc
# writes the messages. Everything is made in a folder that goes away again.
set -euo pipefail
target=$(realpath -m "$1")
go=$(command -v "${GO:-go}") || { echo "no Go compiler; install it with: apt-get install golang-go" >&2; exit 1; }
python=${PYTHON:-python3}
cd "$(dirname "$0")"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp go.mod go.sum main.go tools.go "$work"
mkdir "$work/inference" "$work/bin"
proto=$(realpath ../inference.proto)
(cd "$work" && GOBIN="$work/bin" "$go" install google.golang.org/protobuf/cmd/protoc-gen-go google.golang.org/grpc/cmd/protoc-gen-go-grpc)
PATH="$work/bin:$PATH" "$python" -m grpc_tools.protoc -I"$(dirname "$proto")" \
    --go_out="$work/inference" --go_opt=paths=source_relative --go_opt=Minference.proto=mask/inference \
    --go-grpc_out="$work/inference" --go-grpc_opt=paths=source_relative --go-grpc_opt=Minference.proto=mask/inference inference.proto
(cd "$work" && "$go" build -trimpath -o "$target" .)
