// Package results keeps what was measured as rows of Markdown tables that are
// committed.
package results

import (
	"fmt"
	"os"
	"path/filepath"
)

// Append writes rows to the end of a Markdown file. A new file, whose folder is
// made where it is missing, gets head first.
func Append(file, head, rows string) (err error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fmt.Errorf("append results: %w", err)
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("append results: %w", err)
	}
	defer func() {
		if cerr := f.Close(); err == nil && cerr != nil {
			err = fmt.Errorf("append results: %w", cerr)
		}
	}()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("append results: %w", err)
	}
	if info.Size() == 0 {
		rows = head + rows
	}
	if _, err := f.WriteString(rows); err != nil {
		return fmt.Errorf("append results: %w", err)
	}
	return nil
}
