package api_test

import (
	"io/fs"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/api"
	"github.com/parley-chat/parley/internal/nasty"
)

// Of nothing that somebody uploads does anything run, get out of its folder, or tell
// where a picture was taken.
func TestNastyUploads(t *testing.T) {
	f := setup(t, nil)
	conversation := f.open(t, 1)
	outside := filepath.Dir(f.files)
	for _, u := range nasty.Files() {
		t.Run(shown(u.Name), func(t *testing.T) {
			id, last := f.upload(t, conversation, u.Name, u.Data)
			path := "/v1/attachments/" + id
			if u.Kind == "" {
				if !nasty.Refused(last.status) {
					t.Fatalf("status %d: %s", last.status, last.body)
				}
				expectProblem(t, f.get(t, f.visitor, path+"/file"), http.StatusNotFound, parley.CodeNotFound)
			} else {
				checkServed(t, f, u, decode[api.Attachment](t, f.expect(t, last, http.StatusOK)))
				f.expect(t, f.do(t, request{method: "DELETE", path: path, token: f.visitor.Token}), http.StatusNoContent)
			}
			if left := filesBelow(t, outside); len(left) > 0 {
				t.Errorf("left over: %v", left)
			}
		})
	}
}

func shown(name string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '_'
		}
		return r
	}, name[:min(len(name), 40)])
}

func filesBelow(t *testing.T, dir string) (list []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			list = append(list, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func checkServed(t *testing.T, f *fixture, u nasty.File, a api.Attachment) {
	t.Helper()
	found := u.NameFindings(a.Name)
	tails := []string{"/file"}
	if *a.Thumbnail {
		tails = append(tails, "/thumbnail")
	}
	for _, tail := range tails {
		r := f.expect(t, f.get(t, f.visitor, "/v1/attachments/"+a.Id+tail), http.StatusOK)
		found = append(found, u.Findings(r.header, r.body, tail == "/thumbnail")...)
	}
	if *a.Type != u.Kind || len(found) > 0 {
		t.Errorf("it is %s, want %s; %s", *a.Type, u.Kind, strings.Join(found, "; "))
	}
}
