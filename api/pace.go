package api

import (
	"net"
	"net/http"
	"net/netip"

	"github.com/labstack/echo/v4"

	"github.com/parley-chat/parley"
)

// keepPace refuses what somebody publishes too fast, before the body is read: it
// may be sent again, and nothing of it was stored.
func (s *Server) keepPace(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if s.options.TakePublish == nil {
			return next(c)
		}
		who := callerOf(c.Request().Context())
		from, _ := netip.ParseAddr(who.ip) // the zero address if there is none
		if wait := s.options.TakePublish(who.identity, from); wait > 0 {
			return parley.Limited(wait, "this is too fast; send it again in %d seconds", parley.Seconds(wait))
		}
		return next(c)
	}
}

// fromClient serves requests with the client's address, also behind a trusted proxy.
func fromClient(h http.Handler) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		if ip := c.RealIP(); ip != "" {
			_, port, err := net.SplitHostPort(r.RemoteAddr)
			if err != nil {
				port = "0"
			}
			r = r.WithContext(r.Context())
			r.RemoteAddr = net.JoinHostPort(ip, port)
		}
		h.ServeHTTP(c.Response(), r)
		return nil
	}
}
