package provider

import (
	"io/fs"
	"path"
	"slices"
	"strings"
	"testing"
)

// TestPageTemplates: each is parsed when it is first shown, so a mistake in one must
// be found here, and one that nobody names, too.
func TestPageTemplates(t *testing.T) {
	p, err := newPages("", "")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range pageNames {
		if p.templates[name]().Lookup("layout") == nil {
			t.Errorf("%s has no layout", name)
		}
	}
	files, err := fs.Glob(webFiles, "web/*.html")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(path.Base(file), ".html")
		if !slices.Contains(append(pageNames, "layout", "checksession"), name) {
			t.Errorf("%s is no page", file)
		}
	}
	if len(files) != len(pageNames)+2 {
		t.Errorf("%d files for %d pages", len(files), len(pageNames))
	}
}
