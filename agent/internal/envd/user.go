package envd

import (
	"errors"

	"alcove.dev/agent/internal/identity"
)

// customaryUser is who older clients ask for when their caller named nobody: E2B's images all have it.
const customaryUser = "user"

// lookup finds the user that a client of envd means.
func lookup(users *identity.Directory, name string) (identity.User, error) {
	user, err := users.Lookup(name)
	if name == customaryUser && errors.Is(err, identity.ErrUnknownUser) {
		return users.Lookup("")
	}
	return user, err
}
