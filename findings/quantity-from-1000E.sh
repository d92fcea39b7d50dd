#!/usr/bin/env bash
# k8s.io/apimachinery v0.37.2: resource.Quantity prints amounts from 10^21 on, written with a decimal suffix or none and
# ending in zeros, without any suffix: 1000E, which is a valid quantity, comes out as 1. There is no suffix beyond E, and
# that none was found is ignored. What is printed is what is stored: a claim for 1000E becomes one for 1 byte.
# Seen: 1000E -> 1, 2000E -> 2, 1000000000000000000000 -> 1; 1500E and 1e21 come back as they are.
# Fails when that changes. Needs Go and the module proxy.
set -euo pipefail

version=v0.37.2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat >go.mod <<MOD
module finding

go 1.26.0

require k8s.io/apimachinery $version
MOD
cat >main.go <<'GO'
package main

import (
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/api/resource"
)

func main() {
	for _, text := range []string{"999E", "1000E", "2000E", "1500E", "1000000000000000000000", "1e21"} {
		quantity := resource.MustParse(text)
		stored, err := json.Marshal(quantity)
		if err != nil {
			panic(err)
		}
		var read resource.Quantity
		if err := json.Unmarshal(stored, &read); err != nil {
			panic(err)
		}
		fmt.Printf("%s %s %t\n", text, stored, read.Cmp(quantity) == 0)
	}
}
GO
GOFLAGS=-mod=mod go run . 2>/dev/null >seen
cat >expected <<'TEXT'
999E "999E" true
1000E "1" false
2000E "2" false
1500E "1500E" true
1000000000000000000000 "1" false
1e21 "1e21" true
TEXT
echo "k8s.io/apimachinery $version: written, stored, the same amount when read again"
cat seen
diff expected seen
