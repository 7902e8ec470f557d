// Package server decides who may call what, and puts the routes together.
//
// Its one rule: a route says which callers it is for in the one table of routes; whoever is not among them
// is turned away before the route's own code runs.
package server

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Caller is who sent a request.
type Caller int

const (
	// Nobody showed nothing that counts.
	Nobody Caller = iota
	// Client showed the access token that was given at claim time; it may use envd's routes.
	Client
	// Control showed the control key.
	Control
)

// Guard knows what callers must show.
type Guard struct {
	mu          sync.RWMutex
	controlHash []byte
	token       string
}

// NewGuard makes a Guard; without a hash nobody is the control plane.
func NewGuard(controlHash []byte) *Guard { return &Guard{controlHash: controlHash} }

// SetControlHash replaces what the control plane must show: a restored workspace has another key.
func (g *Guard) SetControlHash(hash []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.controlHash = hash
}

func (g *Guard) hash() []byte {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.controlHash
}

// SetToken replaces the access token; "" means that there is none.
func (g *Guard) SetToken(token string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.token = token
}

func (g *Guard) accessToken() string {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.token
}

// Identify says who sent a request.
func (g *Guard) Identify(r *http.Request) Caller {
	if key := r.Header.Get("X-Alcove-Control"); key != "" {
		hash := sha256.Sum256([]byte(key))
		if known := g.hash(); known != nil && subtle.ConstantTimeCompare(hash[:], known) == 1 {
			return Control
		}
	}
	token := g.accessToken()
	if token != "" && sameSecret(r.Header.Get("X-Access-Token"), token) {
		return Client
	}
	return Nobody
}

// Signed says whether a request to /files carries a good signature for exactly its path, user and operation.
func (g *Guard) Signed(r *http.Request) bool {
	query := r.URL.Query()
	given, token := query.Get("signature"), g.accessToken()
	// A multipart body may name its files itself when the URL names none: nothing would be signed then.
	if given == "" || token == "" || query.Get("path") == "" {
		return false
	}
	operation := "read"
	if r.Method == http.MethodPost {
		operation = "write"
	}
	text := query.Get("path") + ":" + operation + ":" + query.Get("username") + ":" + token
	if expiration := query.Get("signature_expiration"); expiration != "" {
		until, err := strconv.ParseInt(expiration, 10, 64)
		if err != nil || time.Now().Unix() >= until {
			return false
		}
		text += ":" + expiration
	}
	hash := sha256.Sum256([]byte(text))
	return sameSecret(given, "v1_"+base64.RawStdEncoding.EncodeToString(hash[:]))
}

func sameSecret(given, secret string) bool {
	a, b := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(secret))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}
