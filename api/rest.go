package api

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/parley-chat/parley"
)

// rest implements the operations of openapi.yaml.
type rest struct {
	*Server
}

var _ StrictServerInterface = rest{}

func (s *Server) routeREST() {
	caller := []echo.MiddlewareFunc{s.readCaller}
	signedIn := []echo.MiddlewareFunc{s.readCaller, s.authenticate}
	publishes := []echo.MiddlewareFunc{s.readCaller, s.authenticate, s.keepPace}
	moves := []echo.MiddlewareFunc{s.readCaller, s.authenticate, s.keepPace, bePatient}
	serves := []echo.MiddlewareFunc{s.readCaller, s.authenticateFile, bePatient}
	RegisterHandlersWithOptions(s.public, NewStrictHandler(rest{s}, nil), RegisterHandlersOptions{
		OperationMiddlewares: map[string][]echo.MiddlewareFunc{
			"createVisitorSession": caller,
			"createAgentSession":   caller,
			"getMe":                signedIn,
			"signOut":              signedIn,
			"signOutUser":          signedIn,
			"listRegisters":        signedIn,
			"setRegister":          publishes,
			"listConversations":    signedIn,
			"getConversation":      signedIn,
			"claimConversation":    publishes,
			"closeConversation":    publishes,
			"markConversation":     publishes,
			"listMessages":         signedIn,
			"listNotes":            signedIn,
			"postMessage":          publishes,
			"search":               signedIn,
			"beginAttachment":      publishes,
			"getAttachment":        signedIn,
			"headAttachment":       signedIn,
			"discardAttachment":    publishes,
			"addToAttachment":      moves,
			"completeAttachment":   moves,
			"getAttachmentFile":    serves,

			"getAttachmentThumbnail": serves,
		},
	})
	s.routeMQTT()
}

// routeMQTT leads to the broker.
func (s *Server) routeMQTT() {
	if s.options.MQTT == nil {
		return
	}
	mqtt := fromClient(s.options.MQTT)
	s.public.GET(mqttPath, mqtt)
	s.public.POST(mqttPath+"/http", mqtt)
	s.public.POST(mqttPath+"/http/:tunnel/up", mqtt)
	s.public.GET(tunnelDown, mqtt)
}

// caller is what handlers know of who is calling besides the parameters.
type caller struct {
	identity parley.Identity
	signedIn bool
	token    string // of who is signed in by one
	origin   string // empty if the page is ours, or there is none
	ip       string
	request  *http.Request
}

type callerKey struct{}

func callerOf(ctx context.Context) caller {
	c, _ := ctx.Value(callerKey{}).(caller)
	return c
}

// identityOf fails where the route forgot to authenticate, so that forgetting
// shuts the door instead of opening it.
func identityOf(ctx context.Context) (parley.Identity, error) {
	c := callerOf(ctx)
	if !c.signedIn {
		return parley.Identity{}, errNoToken()
	}
	return c.identity, nil
}

func errNoToken() error {
	return parley.Errorf(parley.CodeUnauthenticated, "send a token: Authorization: Bearer …")
}

func (s *Server) readCaller(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		who := caller{ip: c.RealIP(), request: c.Request()}
		if !sameOrigin(c.Request()) {
			who.origin = c.Request().Header.Get("Origin")
		}
		setCaller(c, who)
		return next(c)
	}
}

func setCaller(c echo.Context, who caller) {
	c.SetRequest(c.Request().WithContext(context.WithValue(c.Request().Context(), callerKey{}, who)))
}

// authenticate runs before the body is read: strangers are not worth it.
func (s *Server) authenticate(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		scheme, token, _ := strings.Cut(c.Request().Header.Get("Authorization"), " ")
		if !strings.EqualFold(scheme, "Bearer") || token == "" {
			return errNoToken()
		}
		identity, err := s.options.Access.Verify(c.Request().Context(), token)
		if err != nil {
			return fmt.Errorf("verify token: %w", err)
		}
		who := callerOf(c.Request().Context())
		who.identity, who.signedIn, who.token = identity, true, token
		setCaller(c, who)
		return next(c)
	}
}

// GetSpec serves the description of the API.
func (rest) GetSpec(context.Context, GetSpecRequestObject) (GetSpecResponseObject, error) {
	return GetSpec200ApplicationyamlResponse{Body: bytes.NewReader(spec), ContentLength: int64(len(spec))}, nil
}

// GetHealth answers as long as the process does.
func (rest) GetHealth(context.Context, GetHealthRequestObject) (GetHealthResponseObject, error) {
	return GetHealth200JSONResponse{HealthJSONResponse{Status: "ok"}}, nil
}

// readyTimeout is how long a store may think about whether it can write.
const readyTimeout = 2 * time.Second

// GetReady answers whether messages can be stored now.
func (r rest) GetReady(ctx context.Context, _ GetReadyRequestObject) (GetReadyResponseObject, error) {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	if err := r.options.Ready(ctx); err != nil {
		return nil, fmt.Errorf("%w: %w", parley.Errorf(parley.CodeUnavailable, "%s", readyReason(err)), err)
	}
	return GetReady200JSONResponse{HealthJSONResponse{Status: "ok"}}, nil
}

// readyReason tells everybody no more than what was written for everybody.
func readyReason(err error) string {
	if refusal, status := refusalOf(err); status != http.StatusInternalServerError {
		return refusal.Message
	}
	return "the store cannot write"
}
