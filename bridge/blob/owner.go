package blob

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// ownerFile says whose blobs are in the folder. It is there before the first of them.
const ownerFile = "owner"

// ErrForeign says that a folder has the blobs of another owner.
var ErrForeign = errors.New("the folder has the files of another store, of which this one knows nothing: name another folder")

func (d *Dir) owner() (string, error) {
	name, err := os.ReadFile(filepath.Join(d.path, ownerFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read owner: %w", err)
	}
	return string(name), nil
}

// Own makes the folder its owner's, durably, before anything is put: also one that was
// its former owner's. It is idempotent.
func (d *Dir) Own(context.Context) error {
	if err := d.make(); err != nil {
		return fmt.Errorf("take the folder of blobs: %w", orFull(err))
	}
	return nil
}

// foreign reports whether a folder of that owner is neither ours nor to be taken over.
func (d *Dir) foreign(owner string) bool {
	return owner != "" && d.options.Owner != "" && owner != d.options.Owner && owner != d.options.Former
}

// checkOwner fails if the folder is somebody else's.
func (d *Dir) checkOwner() error {
	there, err := d.owner()
	if err == nil && d.foreign(there) {
		return fmt.Errorf("%s: %w", d.path, ErrForeign)
	}
	return err
}

// own takes a folder that is nobody's. Of two owners that do so at once one finds out.
func (d *Dir) own() error {
	there, err := d.owner()
	if err != nil || there == d.options.Owner || d.options.Owner == "" || d.foreign(there) {
		return errors.Join(err, d.checkOwner())
	}
	f, err := os.CreateTemp(filepath.Join(d.path, temporary), "*")
	if err != nil {
		return err
	}
	_, err = f.WriteString(d.options.Owner)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), filepath.Join(d.path, ownerFile))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write owner: %w", err), removeIfThere(f.Name()))
	}
	return d.checkOwner()
}
