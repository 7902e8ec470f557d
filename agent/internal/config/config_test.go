package config

import (
	"strings"
	"testing"
)

func load(settings map[string]string) (Config, error) {
	return Load(func(name string) string { return settings[name] })
}

func TestTheImagesVariablesComeInBothForms(t *testing.T) {
	for _, text := range []string{`{"A":"1","B":"x=y"}`, `["A=1","B=x=y","nothing"]`} {
		c, err := load(map[string]string{"ALCOVE_LISTEN": "fd:3", "ALCOVE_IMAGE_ENV": text})
		if err != nil || len(c.ImageEnv) != 2 || c.ImageEnv["B"] != "x=y" {
			t.Errorf("%s: %v %v", text, c.ImageEnv, err)
		}
	}
}

func TestWhatCannotBeMeantStopsTheStart(t *testing.T) {
	for name, settings := range map[string]map[string]string{
		"ALCOVE_LISTEN":         {},
		"ALCOVE_ROOT":           {"ALCOVE_LISTEN": "fd:3", "ALCOVE_ROOT": "maybe"},
		"ALCOVE_CONTROL_SHA256": {"ALCOVE_LISTEN": "fd:3", "ALCOVE_CONTROL_SHA256": "abc"},
		"ALCOVE_IMAGE_ENV":      {"ALCOVE_LISTEN": "fd:3", "ALCOVE_IMAGE_ENV": "A=1"},
	} {
		if _, err := load(settings); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWithoutAWordThereIsNoRoot(t *testing.T) {
	c, err := load(map[string]string{"ALCOVE_LISTEN": "fd:3"})
	if err != nil || c.Root != RootNone {
		t.Fatalf("%v %v", c.Root, err)
	}
}
