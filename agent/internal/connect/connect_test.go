package connect

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestBytesAreReadInEveryFormOfBase64(t *testing.T) {
	for _, text := range []string{`"+/8="`, `"+/8"`, `"-_8="`, `"-_8"`} {
		var got Bytes
		if err := json.Unmarshal([]byte(text), &got); err != nil || !bytes.Equal(got, []byte{0xfb, 0xff}) {
			t.Errorf("%s: %x %v", text, got, err)
		}
	}
	var got Bytes
	if json.Unmarshal([]byte(`"!"`), &got) == nil {
		t.Error("what is no base64 was taken")
	}
}

func TestATimeoutIsANumberOfAtMostTenDigits(t *testing.T) {
	for text, want := range map[string]time.Duration{"": 0, "0": 0, "1500": 1500 * time.Millisecond} {
		r := httptest.NewRequest("POST", "/", nil)
		r.Header.Set("Connect-Timeout-Ms", text)
		if got, err := Timeout(r); err != nil || got != want {
			t.Errorf("%q: %v %v", text, got, err)
		}
	}
	for _, text := range []string{"x", "-1", "99999999999"} {
		r := httptest.NewRequest("POST", "/", nil)
		r.Header.Set("Connect-Timeout-Ms", text)
		if _, err := Timeout(r); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

func TestAUnaryCallAnswersJSONOrACodeWithItsStatus(t *testing.T) {
	type message struct {
		A int `json:"a"`
	}
	handler := Unary(func(_ *http.Request, m *message) (*message, error) {
		if m.A == 0 {
			return nil, Errorf(NotFound, "no such a")
		}
		return m, nil
	})
	for body, want := range map[string]struct {
		status int
		answer string
	}{
		`{"a":1,"unknown":2}`: {200, `{"a":1}`},
		`{}`:                  {404, `{"code":"not_found","message":"no such a"}`},
		``:                    {404, `{"code":"not_found","message":"no such a"}`},
	} {
		r := httptest.NewRequest("POST", "/", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json; charset=utf-8")
		w := httptest.NewRecorder()
		handler(w, r)
		if w.Code != want.status || w.Body.String() != want.answer {
			t.Errorf("%s: %d %s", body, w.Code, w.Body)
		}
	}
}

func TestACompressedEnvelopeIsRefused(t *testing.T) {
	_, _, err := ReadEnvelope(bytes.NewReader([]byte{1, 0, 0, 0, 1, 'x'}))
	if AsError(err).Code != Unimplemented {
		t.Fatalf("got %v", err)
	}
}

func FuzzReadEnvelope(f *testing.F) {
	f.Add(append(binary.BigEndian.AppendUint32([]byte{0}, 2), "{}"...))
	f.Add([]byte{2, 0, 0, 0, 0})
	f.Add([]byte{0, 255, 255, 255, 255, 1})
	f.Add([]byte{0, 0, 0, 0, 9, '{'})
	f.Fuzz(func(t *testing.T, data []byte) {
		source := bytes.NewReader(data)
		for {
			_, message, err := ReadEnvelope(source)
			if err == io.EOF && source.Len() > 0 {
				t.Fatal("the end came before the end")
			}
			if err != nil {
				return
			}
			if len(message) > len(data) {
				t.Fatal("more came out than went in")
			}
		}
	})
}
