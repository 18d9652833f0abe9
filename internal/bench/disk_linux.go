package bench

import (
	"context"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"
)

// What the disk is asked for: about what a journal that is written at the paced
// rate asks for, on blocks that are there already.
const (
	diskFile   = 16 << 20
	diskRecord = 700
	diskPace   = time.Millisecond
)

// diskAlone measures an fdatasync behind a small write, with no broker running:
// what a durable acknowledgement cannot be faster than.
func (s size) diskAlone(ctx context.Context, _ *rig, _ uint64) (values []float64, err error) {
	f, err := os.CreateTemp("", "parley-bench-disk-")
	if err != nil {
		return nil, fmt.Errorf("measure the disk: %w", err)
	}
	defer func() { _, _ = f.Close(), os.Remove(f.Name()) }()
	if _, err := f.Write(make([]byte, diskFile)); err != nil {
		return nil, fmt.Errorf("measure the disk: %w", err)
	}
	if err := f.Sync(); err != nil {
		return nil, fmt.Errorf("measure the disk: %w", err)
	}
	record := make([]byte, diskRecord)
	var took []float64
	for until, at := time.Now().Add(s.paced), int64(0); time.Now().Before(until) && ctx.Err() == nil; at = (at + diskRecord) % (diskFile - diskRecord) {
		if _, err := f.WriteAt(record, at); err != nil {
			return nil, fmt.Errorf("measure the disk: %w", err)
		}
		began := time.Now()
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			return nil, fmt.Errorf("measure the disk: %w", err)
		}
		d := time.Since(began)
		took = append(took, float64(d)/float64(time.Millisecond))
		time.Sleep(diskPace - min(d, diskPace))
	}
	if len(took) == 0 {
		return nil, ctx.Err()
	}
	slices.Sort(took)
	return []float64{took[len(took)/2], took[len(took)*99/100]}, nil
}
