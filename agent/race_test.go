//go:build race

package main

import "os"

func init() {
	// As root the agent changes the capabilities of all its threads, which Go cannot do in a program with cgo,
	// and the race detector needs cgo. As an ordinary user there is nothing to change.
	if os.Getuid() != 0 {
		buildFlags, buildCGO = []string{"-race"}, "CGO_ENABLED=1"
		memoryFactor = 10
	}
}
