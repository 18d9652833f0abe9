package journal

import "os"

// rename gives an open file, which is at path, the name to. Windows does that to
// closed ones only.
func rename(f *os.File, path, to string) (*os.File, error) {
	if err := f.Close(); err != nil {
		return f, err
	}
	if err := os.Rename(path, to); err != nil {
		return f, err
	}
	return os.OpenFile(to, os.O_RDWR, 0o600)
}

// syncDir does nothing: Windows cannot sync folders, NTFS has a log for them.
func syncDir(string) error { return nil }
