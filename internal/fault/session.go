package fault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/parley-chat/parley/internal/fault/database"
	"github.com/parley-chat/parley/internal/fault/server"
)

// Session is one run of rows, as `parley fault` makes it.
type Session struct {
	Lab     Lab // FaultBinary, Database, Client, Folder and Log are filled in
	Scale   float64
	Short   bool
	Verbose bool
	Results string // Markdown file to write the table to, if named
	Commit  string
	Out     io.Writer
}

// ErrBroken tells that a row did not hold what it should.
var ErrBroken = errors.New("a promise was broken, see above")

// List tells the rows and what counts as a pass.
func List(out io.Writer) error {
	for _, r := range Rows() {
		_, err := fmt.Fprintf(out, "%-14s %s\n%-14s pass: %s; 0 lost, doubled, reordered\n", r.Name, r.Fault, "", r.Pass)
		if err != nil {
			return fmt.Errorf("list rows: %w", err)
		}
	}
	return nil
}

// Run makes the rows that are named, all of them if none is. It fails with
// ErrBroken when one of them did not hold.
func (s *Session) Run(ctx context.Context, names []string) (err error) {
	rows, err := s.choose(names)
	if err != nil {
		return err
	}
	if s.Lab.Folder, err = os.MkdirTemp("", "parley-fault-"); err != nil {
		return fmt.Errorf("fault: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(s.Lab.Folder)) }()
	if err := s.prepare(ctx); err != nil {
		return err
	}
	var results []*Result
	var broken []string
	for _, r := range rows {
		lab := s.Lab
		if lab.Rounds == 0 && !s.Short && s.Scale != 1 {
			lab.Rounds = max(1, int(float64(r.Long)*s.Scale))
		}
		result, err := r.Run(ctx, lab)
		if err != nil {
			broken = append(broken, r.Name)
			s.say("FAILED", err)
			continue
		}
		results = append(results, result)
		verdict := "held  "
		if !result.OK() || !result.InTime() {
			verdict = "BROKEN"
			broken = append(broken, r.Name)
		}
		s.say(verdict, result)
		if err := s.write(results); err != nil {
			return err
		}
	}
	if len(broken) > 0 {
		return fmt.Errorf("%s: %w", strings.Join(broken, ", "), ErrBroken)
	}
	return nil
}

func (s *Session) say(verdict string, about any) {
	_, _ = fmt.Fprintln(s.Out, verdict, about) // who does not listen is told by the table and the exit status
}

// prepare builds what the rows need.
func (s *Session) prepare(ctx context.Context) (err error) {
	level := slog.LevelWarn
	if s.Verbose {
		level = slog.LevelDebug
	}
	s.Lab.Log = slog.New(slog.NewTextHandler(s.Out, &slog.HandlerOptions{Level: level}))
	s.Lab.Soak = !s.Short
	if s.Lab.Kept, err = filepath.Abs(KeptFile); err != nil {
		return fmt.Errorf("fault: %w", err)
	}
	if s.Lab.Client, err = filepath.Abs(ClientFile); err != nil {
		return fmt.Errorf("fault: %w", err)
	}
	if _, err := os.Stat(s.Lab.Client); err != nil {
		return fmt.Errorf("%w: run it at the top of the source tree, after make web", err)
	}
	if s.Lab.Database, err = database.Build(ctx, s.Lab.Folder); err != nil {
		return err
	}
	s.Lab.FaultBinary, err = server.Build(ctx, s.Lab.Folder, false, "fault")
	return err
}

// ClientFile is the built TypeScript client, in the source tree.
const ClientFile = "web-widget/client/dist/index.js"

func (s *Session) choose(names []string) ([]*Row, error) {
	all := Rows()
	if len(names) == 0 {
		return slices.DeleteFunc(all, func(r *Row) bool { return s.Short && r.Short == 0 }), nil
	}
	var rows []*Row
	for _, name := range names {
		i := slices.IndexFunc(all, func(r *Row) bool { return r.Name == name })
		if i < 0 {
			var known []string
			for _, r := range all {
				known = append(known, r.Name)
			}
			return nil, fmt.Errorf("no row %q; there are %s", name, strings.Join(known, ", "))
		}
		rows = append(rows, all[i])
	}
	return rows, nil
}
