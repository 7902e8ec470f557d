package envd

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"mime/multipart"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"alcove.dev/agent/internal/activity"
	"alcove.dev/agent/internal/connect"
	"alcove.dev/agent/internal/fault"
	"alcove.dev/agent/internal/filesystem"
	"alcove.dev/agent/internal/identity"
	"alcove.dev/agent/internal/process"
	"alcove.dev/agent/internal/threads"
)

const (
	partsMax = 1000
	// idleMax is how long an upload may stand still.
	idleMax        = time.Minute
	copySize       = 256 << 10
	composeBodyMax = 1 << 20
	metadataMax    = 32
)

// Content serves /files: the bytes of files.
type Content struct {
	Files *filesystem.Files
	Table *process.Table
	Meter *activity.Meter
}

// written is one file of the answer to an upload.
type written struct {
	Name     string            `json:"name"`
	Path     string            `json:"path"`
	Type     string            `json:"type"`
	Metadata map[string]string `json:"metadata,omitempty"`
}

// Routes adds the routes through handle.
func (c *Content) Routes(handle func(pattern string, handler http.HandlerFunc)) {
	handle("GET /files", c.read)
	handle("POST /files", c.write)
}

// resolve makes a path absolute. One that cannot be a path is the caller's fault.
func resolve(path string, user identity.User, base string) (string, error) {
	if strings.ContainsRune(path, 0) {
		return "", connect.Errorf(connect.InvalidArgument, "a path cannot contain a NUL character")
	}
	return process.Resolve(path, user, base), nil
}

func (c *Content) who(r *http.Request) (identity.User, error) {
	name := r.URL.Query().Get("username")
	if name == "" {
		name, _, _ = r.BasicAuth()
	}
	return lookup(c.Files.Users, name)
}

// refuse answers with the numeric code that envd's clients expect on these routes.
func refuse(w http.ResponseWriter, err error) {
	known := fault.Of(err)
	status := http.StatusInternalServerError
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		status = http.StatusInsufficientStorage
	case known.Code == connect.ResourceExhausted:
		status = http.StatusTooManyRequests
	case known.Code == connect.InvalidArgument, known.Code == connect.FailedPrecondition:
		status = http.StatusBadRequest
	case known.Code == connect.NotFound:
		status = http.StatusNotFound
	case known.Code == connect.PermissionDenied:
		status = http.StatusForbidden
	case known.Code == connect.Unauthenticated:
		status = http.StatusUnauthorized
	case known.Code == connect.AlreadyExists:
		status = http.StatusConflict
	case known.Code == connect.Unimplemented:
		status = http.StatusNotImplemented
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	body, _ := json.Marshal(map[string]any{"code": status, "message": known.Message})
	_, _ = w.Write(body)
}

func (c *Content) read(w http.ResponseWriter, r *http.Request) {
	user, err := c.who(r)
	if err != nil {
		refuse(w, err)
		return
	}
	path, err := resolve(r.URL.Query().Get("path"), user, c.Table.Workdir())
	if err != nil {
		refuse(w, err)
		return
	}
	file, info, err := c.Files.Open(user, path)
	if err != nil {
		refuse(w, err)
		return
	}
	defer file.Close()
	c.Meter.Touch()
	header := w.Header()
	// Never guessed: a page of a workspace must not become a page of ours.
	header.Set("Content-Type", "application/octet-stream")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": filepath.Base(path)}))
	if info.Size() == 0 {
		// Files of /proc and /sys have content and no size.
		_, _ = io.Copy(w, turns{file})
		return
	}
	http.ServeContent(w, r, "", info.ModTime(), turns{file})
	c.Meter.Touch()
}

// turns reads a file so that only so many reads block at a time.
type turns struct{ file io.ReadSeeker }

func (t turns) Read(buffer []byte) (int, error) {
	threads.Enter()
	defer threads.Leave()
	return t.file.Read(buffer)
}

func (t turns) Seek(offset int64, whence int) (int64, error) { return t.file.Seek(offset, whence) }

func (c *Content) write(w http.ResponseWriter, r *http.Request) {
	user, err := c.who(r)
	if err != nil {
		refuse(w, err)
		return
	}
	u := &upload{content: c, user: user, base: c.Table.Workdir(), control: http.NewResponseController(w)}
	if u.metadata, err = metadataOf(r.Header); err == nil {
		err = u.receive(r)
	}
	_ = u.control.SetReadDeadline(time.Time{})
	if err != nil {
		refuse(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(u.done)
}

// metadataOf gives the X-Metadata-* headers, keys in lower case.
func metadataOf(header http.Header) (map[string]string, error) {
	metadata := map[string]string{}
	for name, values := range header {
		if key, is := strings.CutPrefix(strings.ToLower(name), "x-metadata-"); is && key != "" && len(values) > 0 {
			metadata[key] = values[0]
		}
	}
	if len(metadata) > metadataMax {
		return nil, connect.Errorf(connect.InvalidArgument, "more than %d X-Metadata- headers", metadataMax)
	}
	return metadata, nil
}

// upload is one request that writes files.
type upload struct {
	content  *Content
	user     identity.User
	base     string
	control  *http.ResponseController
	metadata map[string]string
	done     []written
	buffer   []byte
}

func (u *upload) receive(r *http.Request) error {
	kind, parameters, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return connect.Errorf(connect.InvalidArgument, "the content type cannot be read: %w", err)
	}
	path := r.URL.Query().Get("path")
	switch kind {
	case "application/octet-stream":
		if path == "" {
			return connect.Errorf(connect.InvalidArgument, "path is missing")
		}
		body, err := decoded(r)
		if err != nil {
			return err
		}
		return u.store(path, body)
	case "multipart/form-data":
		return u.receiveParts(multipart.NewReader(r.Body, parameters["boundary"]), path)
	}
	return connect.Errorf(connect.InvalidArgument, "content type %q: send multipart/form-data or application/octet-stream", kind)
}

func decoded(r *http.Request) (io.Reader, error) {
	switch encoding := r.Header.Get("Content-Encoding"); encoding {
	case "", "identity":
		return r.Body, nil
	case "gzip":
		reader, err := gzip.NewReader(r.Body)
		if err != nil {
			return nil, connect.Errorf(connect.InvalidArgument, "the body is not gzip: %w", err)
		}
		return reader, nil
	default:
		return nil, connect.Errorf(connect.InvalidArgument, "content encoding %q: send gzip or none", encoding)
	}
}

func (u *upload) receiveParts(parts *multipart.Reader, path string) error {
	for number := 1; ; number++ {
		part, err := parts.NextRawPart()
		if err == io.EOF {
			break
		}
		if number > partsMax {
			return connect.Errorf(connect.InvalidArgument, "more than %d parts in one request", partsMax)
		}
		if err != nil {
			return connect.Errorf(connect.InvalidArgument, "the multipart body cannot be read: %w", err)
		}
		if part.FormName() != "file" {
			continue
		}
		if path != "" && len(u.done) > 0 {
			return connect.Errorf(connect.InvalidArgument, "path names one file, and the body has several")
		}
		target := path
		if target == "" {
			target = fileName(part)
		}
		if target == "" {
			return connect.Errorf(connect.InvalidArgument, "part %d has no file name, and there is no path", number)
		}
		if err := u.store(target, part); err != nil {
			return err
		}
	}
	if len(u.done) == 0 {
		return connect.Errorf(connect.InvalidArgument, "the body has no part named file")
	}
	return nil
}

// fileName gives the whole file name of a part; the standard library's own gives the last element only.
func fileName(part *multipart.Part) string {
	_, parameters, err := mime.ParseMediaType(part.Header.Get("Content-Disposition"))
	if err != nil {
		return ""
	}
	return parameters["filename"]
}

func (u *upload) store(path string, source io.Reader) error {
	path, err := resolve(path, u.user, u.base)
	if err != nil {
		return err
	}
	target, err := u.content.Files.Create(u.user, path)
	if err != nil {
		return err
	}
	if err := u.copy(target, source); err != nil {
		target.Abort()
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := target.Commit(u.metadata); err != nil {
		return err
	}
	u.done = append(u.done, written{Name: filepath.Base(path), Path: path, Type: "file", Metadata: u.metadata})
	return nil
}

func (u *upload) copy(target io.Writer, source io.Reader) error {
	if u.buffer == nil {
		u.buffer = make([]byte, copySize)
	}
	for {
		_ = u.control.SetReadDeadline(time.Now().Add(idleMax))
		n, err := source.Read(u.buffer)
		if n > 0 {
			u.content.Meter.Touch()
			threads.Enter()
			_, err := target.Write(u.buffer[:n])
			threads.Leave()
			if err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			var path *fs.PathError
			if errors.As(err, &path) {
				return err
			}
			return connect.Errorf(connect.InvalidArgument, "the body ended early: %w", err)
		}
	}
}
