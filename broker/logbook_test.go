package broker_test

import (
	"log/slog"
	"strings"
	"sync"
)

// logBook keeps everything that is logged, at every level.
type logBook struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logBook) logger() *slog.Logger {
	return slog.New(slog.NewJSONHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func (l *logBook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logBook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
