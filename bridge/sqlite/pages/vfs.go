// Package pages is the file layer under SQLite that gives every page of a
// database file a checksum when it is written, and compares it when it is read.
//
// SQLite has the same as an extension in C (cksumvfs), which its translation to
// Go lacks. It is SQLite's own layer for the system with a few functions
// exchanged, so locks, shared memory and the write-ahead log are untouched. A
// page that is not what was written reads as SQLITE_IOERR_DATA.
package pages

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"unsafe"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
)

// name is under which SQLite knows the layer; see Register.
const name = "parley"

// layer is the system's layer with another xOpen.
type layer struct {
	lib.Tsqlite3_vfs
	open uintptr // the system's xOpen
}

// methods are those of one open database file. They lie in SQLite's memory.
type methods struct {
	lib.Tsqlite3_io_methods
	read, write, close, characteristics uintptr // the system's
	large                               bool    // has pages beyond clearable
}

// Register makes the layer known to SQLite, once in a process, and returns its
// name, for "vfs=" in the name of a database.
func Register() (string, error) { return name, register() }

// System returns the name of SQLite's own layer for the system.
func System() string {
	tls := libc.NewTLS()
	defer tls.Close()
	return libc.GoString(at[lib.Tsqlite3_vfs](lib.Xsqlite3_vfs_find(tls, 0)).FzName)
}

var register = sync.OnceValue(func() error {
	tls := libc.NewTLS()
	defer tls.Close()
	if rc := lib.Xsqlite3_initialize(tls); rc != lib.SQLITE_OK {
		return fmt.Errorf("start SQLite: code %d", rc)
	}
	system := lib.Xsqlite3_vfs_find(tls, 0)
	own := libc.Xmalloc(tls, libc.Tsize_t(unsafe.Sizeof(layer{}))) // for ever
	called, err := libc.CString(name)
	if system == 0 || own == 0 || err != nil {
		return errors.Join(errors.New("no file layer for SQLite"), err)
	}
	l := at[layer](own)
	*l = layer{Tsqlite3_vfs: *at[lib.Tsqlite3_vfs](system)}
	l.open, l.FxOpen = l.FxOpen, pointer(open)
	l.FzName, l.FpNext = called, 0
	if rc := lib.Xsqlite3_vfs_register(tls, own, 0); rc != lib.SQLITE_OK {
		return fmt.Errorf("register the file layer with SQLite: code %d", rc)
	}
	return nil
})

type (
	openFunc = func(tls *libc.TLS, vfs, name, file uintptr, flags int32, outFlags uintptr) int32
	moveFunc = func(tls *libc.TLS, file, buffer uintptr, n int32, offset lib.Tsqlite3_int64) int32
	fileFunc = func(tls *libc.TLS, file uintptr) int32
)

// at returns what lies at p in SQLite's memory, which Go does not move.
func at[T any](p uintptr) *T { return (*T)(*(*unsafe.Pointer)(unsafe.Pointer(&p))) }

// pointer returns what SQLite keeps of a function, and function the way back.
// Only functions without a closure last.
func pointer[F openFunc | moveFunc | fileFunc](f F) uintptr { return *(*uintptr)(unsafe.Pointer(&f)) }

func function[F openFunc | moveFunc | fileFunc](p uintptr) F { return *(*F)(unsafe.Pointer(&p)) }

func methodsOf(file uintptr) *methods { return at[methods](at[lib.Tsqlite3_file](file).FpMethods) }

func bytesAt(p uintptr, n int32) []byte { return unsafe.Slice(at[byte](p), n) }

// open lets the system open a file, and exchanges the methods of a database. The
// write-ahead log has checksums of its own.
func open(tls *libc.TLS, vfs, path, file uintptr, flags int32, outFlags uintptr) int32 {
	rc := function[openFunc](at[layer](vfs).open)(tls, vfs, path, file, flags, outFlags)
	if rc != lib.SQLITE_OK || flags&lib.SQLITE_OPEN_MAIN_DB == 0 {
		return rc
	}
	f := at[lib.Tsqlite3_file](file)
	own := libc.Xmalloc(tls, libc.Tsize_t(unsafe.Sizeof(methods{})))
	if own == 0 {
		_ = function[fileFunc](at[lib.Tsqlite3_io_methods](f.FpMethods).FxClose)(tls, file)
		f.FpMethods = 0
		return lib.SQLITE_NOMEM
	}
	m := at[methods](own)
	*m = methods{Tsqlite3_io_methods: *at[lib.Tsqlite3_io_methods](f.FpMethods)}
	m.FiVersion = 2 // without mapping the file into memory, which would read past us
	m.read, m.FxRead = m.FxRead, pointer(read)
	m.write, m.FxWrite = m.FxWrite, pointer(write)
	m.close, m.FxClose = m.FxClose, pointer(closeFile)
	m.characteristics, m.FxDeviceCharacteristics = m.FxDeviceCharacteristics, pointer(characteristics)
	f.FpMethods = own
	return rc
}

func closeFile(tls *libc.TLS, file uintptr) int32 {
	own := at[lib.Tsqlite3_file](file).FpMethods
	rc := function[fileFunc](at[methods](own).close)(tls, file)
	libc.Xfree(tls, own)
	return rc
}

// characteristics takes back that parts of pages can be read.
func characteristics(tls *libc.TLS, file uintptr) int32 {
	return function[fileFunc](methodsOf(file).characteristics)(tls, file) &^ lib.SQLITE_IOCAP_SUBPAGE_READ
}

// read compares whole pages. What is smaller are pieces of the header, of which
// SQLite reads the whole page as well before it uses anything else.
func read(tls *libc.TLS, file, buffer uintptr, n int32, offset lib.Tsqlite3_int64) int32 {
	m := methodsOf(file)
	rc := function[moveFunc](m.read)(tls, file, buffer, n, offset)
	b := bytesAt(buffer, n)
	if rc == lib.SQLITE_OK && offset == 0 && n > pagesAt+4 { // SQLite begins with the header
		m.large = m.large || binary.BigEndian.Uint32(b[pagesAt:]) > clearable
	}
	switch {
	case rc == lib.SQLITE_IOERR_SHORT_READ && offset == 0 && n > reserveAt && blank(b):
		b[16], b[reserveAt] = Size>>8, Reserve // a new database; SQLite makes it as the header says
	case rc != lib.SQLITE_OK || n < 512:
	case n != Size || offset%Size != 0 || !sound(b, number(offset)):
		return lib.SQLITE_IOERR_DATA
	}
	return rc
}

// write seals whole pages and clears what is unused in them; the buffer is SQLite's
// own copy.
func write(tls *libc.TLS, file, buffer uintptr, n int32, offset lib.Tsqlite3_int64) int32 {
	m := methodsOf(file)
	if n == Size && offset%Size == 0 {
		page, number := bytesAt(buffer, n), number(offset)
		if m.large = m.large || number > clearable; !m.large {
			clearGap(page, number)
		}
		seal(page, number)
	}
	return function[moveFunc](m.write)(tls, file, buffer, n, offset)
}

func number(offset int64) uint32 { return uint32(offset/Size) + 1 }
