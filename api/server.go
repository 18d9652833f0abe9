package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"

	"github.com/parley-chat/parley"
)

// maxBody bounds a request's body: a draft of 64 KiB, escaped at worst.
const maxBody = "256KiB"

func (s *Server) newEcho() *echo.Echo {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.Binder = jsonBinder{}
	e.HTTPErrorHandler = s.handleError
	e.IPExtractor = s.ipExtractor()
	e.Use(
		s.observe,
		middleware.RecoverWithConfig(middleware.RecoverConfig{LogErrorFunc: describePanic}),
		securityHeaders,
		s.cors,
		middleware.BodyLimitWithConfig(middleware.BodyLimitConfig{Skipper: takesPiece, Limit: maxBody}),
		s.limitTime,
	)
	return e
}

// ipExtractor believes the connection. Echo's default believes anybody's
// X-Forwarded-For.
func (s *Server) ipExtractor() echo.IPExtractor {
	if len(s.options.TrustedProxies) == 0 {
		return echo.ExtractIPDirect()
	}
	trust := []echo.TrustOption{echo.TrustLoopback(false), echo.TrustLinkLocal(false), echo.TrustPrivateNet(false)}
	for _, p := range s.options.TrustedProxies {
		trust = append(trust, echo.TrustIPRange(ipNet(p)))
	}
	extract := echo.ExtractIPFromXFFHeader(trust...)
	return func(r *http.Request) string {
		return extract(&http.Request{RemoteAddr: r.RemoteAddr, Header: http.Header{echo.HeaderXForwardedFor: hops(r.Header)}})
	}
}

// hops are the addresses of X-Forwarded-For, without the ports that some proxies add:
// echo would take the whole header for nonsense.
func hops(h http.Header) []string {
	all := strings.Split(strings.Join(h[echo.HeaderXForwardedFor], ","), ",")
	for i, hop := range all {
		if withPort, err := netip.ParseAddrPort(strings.TrimSpace(hop)); err == nil {
			all[i] = withPort.Addr().String()
		}
	}
	return []string{strings.Join(all, ",")}
}

func ipNet(p netip.Prefix) *net.IPNet {
	p = p.Masked()
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// slow is how long reading may take without a line in the log.
const slow = time.Second

// observe logs and counts every request, after everything else is done with it.
// Of those that read, which clients do all the time, only failed and slow ones
// are worth a line that everybody sees.
// Queries, headers and bodies may hold secrets and are not logged; of a tunnel,
// the path does.
func (s *Server) observe(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		start := time.Now()
		requestID := parley.NewID("req_")
		c.Response().Header().Set(echo.HeaderXRequestID, requestID)
		if err := next(c); err != nil {
			c.Error(err)
		}
		took, status, route := time.Since(start), c.Response().Status, routeOf(c)
		s.metrics.observe(c.Request().Method, route, status, took)
		level := slog.LevelDebug
		reads := c.Request().Method == http.MethodGet && status < http.StatusBadRequest && took < slow
		if strings.HasPrefix(route, "/v1/") && !reads {
			level = slog.LevelInfo
		}
		s.options.Logger.Log(c.Request().Context(), level, "http request",
			"request", requestID, "method", c.Request().Method, "path", loggedPath(c), "status", status,
			"bytes", c.Response().Size, "took", took, "remote", c.RealIP())
		return nil
	}
}

// routeOf returns the template of the route, so that ids do not multiply the
// time series.
func routeOf(c echo.Context) string {
	if c.Path() == "" || c.Response().Status == http.StatusNotFound && !strings.HasPrefix(c.Path(), "/v1/") {
		return "other"
	}
	return c.Path()
}

func loggedPath(c echo.Context) string {
	if path := c.Request().URL.Path; !strings.HasPrefix(path, mqttPath+"/") {
		return path
	}
	return routeOf(c)
}

// lasting reports whether requests of the route end with a connection.
func lasting(route string) bool { return route == mqttPath || route == tunnelDown }

func describePanic(_ echo.Context, err error, stack []byte) error {
	return fmt.Errorf("panic: %w\n%s", err, stack)
}

func securityHeaders(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		h := c.Response().Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'") // pages replace it
		if strings.HasPrefix(c.Request().URL.Path, "/v1/") {
			h.Set("Cache-Control", "no-store")
		}
		return next(c)
	}
}

// cors lets the pages of the sites call the API. There are no cookies, hence no
// credentials: a page that has no token can do nothing with the permission.
func (s *Server) cors(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r, h := c.Request(), c.Response().Header()
		if !strings.HasPrefix(r.URL.Path, "/v1/") {
			return next(c)
		}
		h.Add("Vary", "Origin")
		origin := r.Header.Get("Origin")
		preflight := r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != ""
		if origin != "" && !sameOrigin(r) {
			allowed, err := s.allowedOrigin(r.Context(), origin)
			if err != nil {
				return fmt.Errorf("read allowed origins: %w", err)
			}
			if allowed != "" {
				h.Set("Access-Control-Allow-Origin", allowed)
				h.Set("Access-Control-Expose-Headers", "Retry-After, Upload-Length, Upload-Offset, X-Request-Id")
			}
			if allowed != "" && preflight {
				h.Set("Access-Control-Allow-Methods", "GET, HEAD, POST, PATCH, DELETE")
				h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Range, Upload-Offset")
				h.Set("Access-Control-Max-Age", "7200")
			}
		}
		if preflight {
			return c.NoContent(http.StatusNoContent)
		}
		return next(c)
	}
}

// allowedOrigin returns what to answer origin, empty if it is not allowed.
func (s *Server) allowedOrigin(ctx context.Context, origin string) (string, error) {
	if s.options.Origins == nil {
		return "", nil
	}
	origins, err := s.options.Origins(ctx)
	if err != nil {
		return "", err
	}
	if slices.Contains(origins, "*") {
		return "*", nil
	}
	if slices.Contains(origins, origin) {
		return origin, nil
	}
	return "", nil
}

// sameOrigin reports whether the request comes from a page of this host. The
// scheme is not compared: a proxy may have ended TLS.
func sameOrigin(r *http.Request) bool {
	_, host, ok := strings.Cut(r.Header.Get("Origin"), "://")
	return ok && strings.EqualFold(host, r.Host)
}

// limitTime ends what a request waits for that is not there to last.
func (s *Server) limitTime(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if lasting(c.Path()) || movesBytes(c) {
			return next(c)
		}
		untimed := c.Request()
		defer c.SetRequest(untimed) // to whoever looks later, the ended context would mean that the client has left
		ctx, cancel := context.WithTimeout(untimed.Context(), s.options.RequestTimeout)
		defer cancel()
		c.SetRequest(untimed.WithContext(ctx))
		err := next(c)
		var refusal *parley.Error
		if err != nil && ctx.Err() != nil && !errors.As(err, &refusal) { // not every library wraps the context's error
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		}
		return err
	}
}
