package envd

import (
	"net/http"
	"time"

	"alcove.dev/agent/internal/connect"
	"alcove.dev/agent/internal/fault"
	"alcove.dev/agent/internal/filesystem"
	"alcove.dev/agent/internal/identity"
	"alcove.dev/agent/internal/process"
)

// Filesystem serves filesystem.Filesystem.
type Filesystem struct {
	Files    *filesystem.Files
	Watchers *filesystem.Registry
	Table    *process.Table // for the directory that relative paths start from
}

type pathRequest struct {
	Path string `json:"path"`
}

type listRequest struct {
	Path  string `json:"path"`
	Depth int    `json:"depth"`
}

type moveRequest struct {
	Source      string `json:"source"`
	Destination string `json:"destination"`
}

type entryResponse struct {
	Entry filesystem.Entry `json:"entry"`
}

type entriesResponse struct {
	Entries []filesystem.Entry `json:"entries"`
}

// watchRequest has the optional fields in both forms that protobuf's JSON allows.
type watchRequest struct {
	Path          string `json:"path"`
	Recursive     bool   `json:"recursive"`
	Entries       bool   `json:"includeEntry"`
	EntriesProto  bool   `json:"include_entry"`
	Networks      bool   `json:"allowNetworkMounts"`
	NetworksProto bool   `json:"allow_network_mounts"`
}

func (q *watchRequest) options() filesystem.WatchOptions {
	return filesystem.WatchOptions{Recursive: q.Recursive, NetworkMounts: q.Networks || q.NetworksProto}
}

type watcherRequest struct {
	ID      string `json:"watcherId"`
	IDProto string `json:"watcher_id"`
}

func (q *watcherRequest) id() string {
	if q.ID != "" {
		return q.ID
	}
	return q.IDProto
}

type watcherResponse struct {
	ID string `json:"watcherId"`
}

type eventsResponse struct {
	Events []filesystem.Event `json:"events"`
}

type watchEvent struct {
	Start      *empty            `json:"start,omitempty"`
	Filesystem *filesystem.Event `json:"filesystem,omitempty"`
	Keepalive  *empty            `json:"keepalive,omitempty"`
}

// Routes adds the service's routes through handle.
func (s *Filesystem) Routes(handle func(pattern string, handler http.HandlerFunc)) {
	handle("POST /filesystem.Filesystem/Stat", connect.Unary(s.stat))
	handle("POST /filesystem.Filesystem/MakeDir", connect.Unary(s.makeDir))
	handle("POST /filesystem.Filesystem/Move", connect.Unary(s.move))
	handle("POST /filesystem.Filesystem/ListDir", connect.Unary(s.listDir))
	handle("POST /filesystem.Filesystem/Remove", connect.Unary(s.remove))
	handle("POST /filesystem.Filesystem/WatchDir", s.watchDir)
	handle("POST /filesystem.Filesystem/CreateWatcher", connect.Unary(s.createWatcher))
	handle("POST /filesystem.Filesystem/GetWatcherEvents", connect.Unary(s.watcherEvents))
	handle("POST /filesystem.Filesystem/RemoveWatcher", connect.Unary(s.removeWatcher))
}

// who gives the user of a request and the meaning of a path for that user.
func (s *Filesystem) who(r *http.Request, path string) (identity.User, string, error) {
	name, _, _ := r.BasicAuth()
	user, err := lookup(s.Files.Users, name)
	if err != nil {
		return user, "", fault.Of(err)
	}
	resolved, err := resolve(path, user, s.Table.Workdir())
	return user, resolved, err
}

func (s *Filesystem) stat(r *http.Request, request *pathRequest) (*entryResponse, error) {
	user, path, err := s.who(r, request.Path)
	if err != nil {
		return nil, err
	}
	return entryAnswer(s.Files.Stat(user, path))
}

func entryAnswer(entry filesystem.Entry, err error) (*entryResponse, error) {
	if err != nil {
		return nil, fault.Of(err)
	}
	return &entryResponse{entry}, nil
}

func (s *Filesystem) makeDir(r *http.Request, request *pathRequest) (*entryResponse, error) {
	user, path, err := s.who(r, request.Path)
	if err != nil {
		return nil, err
	}
	return entryAnswer(s.Files.MakeDir(user, path))
}

func (s *Filesystem) move(r *http.Request, request *moveRequest) (*entryResponse, error) {
	user, source, err := s.who(r, request.Source)
	if err != nil {
		return nil, err
	}
	destination, err := resolve(request.Destination, user, s.Table.Workdir())
	if err != nil {
		return nil, err
	}
	return entryAnswer(s.Files.Move(user, source, destination))
}

func (s *Filesystem) listDir(r *http.Request, request *listRequest) (*entriesResponse, error) {
	user, path, err := s.who(r, request.Path)
	if err != nil {
		return nil, err
	}
	entries, err := s.Files.List(user, path, request.Depth)
	if err != nil {
		return nil, fault.Of(err)
	}
	if entries == nil {
		entries = []filesystem.Entry{}
	}
	return &entriesResponse{entries}, nil
}

func (s *Filesystem) remove(r *http.Request, request *pathRequest) (*empty, error) {
	user, path, err := s.who(r, request.Path)
	if err == nil {
		err = s.Files.Remove(user, path)
	}
	if err != nil {
		return nil, fault.Of(err)
	}
	return &empty{}, nil
}

func (s *Filesystem) watchDir(w http.ResponseWriter, r *http.Request) {
	stream, request, ok := connect.Open[watchRequest](w, r)
	if !ok {
		return
	}
	ctx, cancel, err := connect.WithTimeout(r)
	if err != nil {
		stream.End(err)
		return
	}
	defer cancel()
	leave, err := s.Watchers.Enter()
	if err != nil {
		stream.End(fault.Of(err))
		return
	}
	defer leave()
	stream.End(s.watch(r.WithContext(ctx), stream, request))
}

func (s *Filesystem) watch(r *http.Request, stream *connect.Stream, request *watchRequest) error {
	user, path, err := s.who(r, request.Path)
	if err != nil {
		return err
	}
	watcher, err := s.Files.Watch(user, path, request.options())
	if err != nil {
		return fault.Of(err)
	}
	defer watcher.Close()
	if err := stream.Send(watchEvent{Start: &empty{}}); err != nil {
		return err
	}
	keepalive := time.NewTicker(connect.Keepalive(r))
	defer keepalive.Stop()
	for {
		select {
		case <-r.Context().Done():
			return r.Context().Err()
		case <-keepalive.C:
			if err := stream.Send(watchEvent{Keepalive: &empty{}}); err != nil {
				return err
			}
		case <-watcher.Wake():
			events, err := watcher.Take(s.Files, request.Entries || request.EntriesProto)
			for i := range events {
				if err := stream.Send(watchEvent{Filesystem: &events[i]}); err != nil {
					return err
				}
			}
			if err != nil {
				return fault.Of(err)
			}
		}
	}
}

func (s *Filesystem) createWatcher(r *http.Request, request *watchRequest) (*watcherResponse, error) {
	user, path, err := s.who(r, request.Path)
	if err != nil {
		return nil, err
	}
	watcher, err := s.Files.Watch(user, path, request.options())
	if err != nil {
		return nil, fault.Of(err)
	}
	id, err := s.Watchers.Add(watcher, request.Entries || request.EntriesProto)
	if err != nil {
		return nil, fault.Of(err)
	}
	return &watcherResponse{id}, nil
}

func (s *Filesystem) watcherEvents(_ *http.Request, request *watcherRequest) (*eventsResponse, error) {
	watcher, found := s.Watchers.Get(request.id())
	if !found {
		return nil, connect.Errorf(connect.NotFound, "there is no watcher %q", request.id())
	}
	events, err := watcher.Take(s.Files, watcher.Entries)
	if err != nil {
		return nil, fault.Of(err)
	}
	if events == nil {
		events = []filesystem.Event{}
	}
	return &eventsResponse{events}, nil
}

func (s *Filesystem) removeWatcher(_ *http.Request, request *watcherRequest) (*empty, error) {
	if !s.Watchers.Remove(request.id()) {
		return nil, connect.Errorf(connect.NotFound, "there is no watcher %q", request.id())
	}
	return &empty{}, nil
}
