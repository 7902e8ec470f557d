// Package threads keeps the agent alive when the workspace has used up its process limit.
//
// Threads count against that limit, and Go's runtime ends the program when it needs a thread and cannot have
// one: a fork bomb would end PID 1. So all threads are made at the start, and what may block one (files,
// starting processes, acting for users) goes through here, never more at a time than there are threads.
//
// Its one rule: nothing else in this program blocks in a system call for long.
package threads

import (
	"runtime"
	"sync"
)

const (
	// BlockedMax is how many calls may block at a time. More wait their turn.
	BlockedMax = 12
	// LongMax is how many of those that also wait for a client there may be, beside the others.
	LongMax = 4
)

// spare is what the runtime itself uses: running code, the poller, signals, the monitor, making threads.
const spare = 8

var (
	places = make(chan struct{}, BlockedMax)
	long   = make(chan struct{}, LongMax)
)

// Reserve makes the threads. It is called once, before anybody can have used up the limit.
func Reserve() {
	var ready sync.WaitGroup
	release := make(chan struct{})
	for range BlockedMax + LongMax + spare {
		ready.Add(1)
		go func() {
			// A locked goroutine has its thread for itself, so that each of these makes one.
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			ready.Done()
			<-release
		}()
	}
	ready.Wait()
	close(release)
}

// Enter waits for a place; Leave gives it back. A holder must not enter again.
func Enter() { places <- struct{}{} }

// Leave gives back what Enter got.
func Leave() { <-places }

// EnterLong is Enter for what waits for a client in between, as an archive does.
func EnterLong() { long <- struct{}{} }

// LeaveLong gives back what EnterLong got.
func LeaveLong() { <-long }
