package api

import (
	"context"
	"fmt"

	"github.com/parley-chat/parley"
)

// CreateVisitorSession gives credentials to a visitor's device.
func (r rest) CreateVisitorSession(ctx context.Context, q CreateVisitorSessionRequestObject) (CreateVisitorSessionResponseObject, error) {
	if err := required("siteKey", q.Body.SiteKey); err != nil {
		return nil, err
	}
	c, err := r.options.Access.VisitorSession(ctx, parley.VisitorRequest{
		SiteKey: q.Body.SiteKey, RefreshToken: value(q.Body.RefreshToken), Device: value(q.Body.Device),
		Name: value(q.Body.Name), Origin: callerOf(ctx).origin, RemoteIP: callerOf(ctx).ip,
	})
	if err != nil {
		return nil, fmt.Errorf("make visitor session: %w", err)
	}
	return CreateVisitorSession201JSONResponse{CreatedJSONResponse(r.session(c))}, nil
}

// CreateAgentSession signs an agent in.
func (r rest) CreateAgentSession(ctx context.Context, q CreateAgentSessionRequestObject) (CreateAgentSessionResponseObject, error) {
	if err := required("site", q.Body.Site, "email", q.Body.Email, "password", q.Body.Password); err != nil {
		return nil, err
	}
	c, err := r.options.Access.AgentSession(ctx, parley.AgentRequest{
		Site: q.Body.Site, Email: q.Body.Email, Password: q.Body.Password,
		RefreshToken: value(q.Body.RefreshToken), Device: value(q.Body.Device), RemoteIP: callerOf(ctx).ip,
	})
	if err != nil {
		return nil, fmt.Errorf("make agent session: %w", err)
	}
	return CreateAgentSession201JSONResponse{CreatedJSONResponse(r.session(c))}, nil
}

// RefreshToken renews the credentials of a device.
func (r rest) RefreshToken(ctx context.Context, q RefreshTokenRequestObject) (RefreshTokenResponseObject, error) {
	if err := required("refreshToken", q.Body.RefreshToken); err != nil {
		return nil, err
	}
	c, err := r.options.Access.Refresh(ctx, q.Body.RefreshToken)
	if err != nil {
		return nil, fmt.Errorf("refresh token: %w", err)
	}
	return RefreshToken200JSONResponse(r.session(c)), nil
}

// GetMe tells the holder of a token what it says.
func (rest) GetMe(ctx context.Context, _ GetMeRequestObject) (GetMeResponseObject, error) {
	who, err := identityOf(ctx)
	if err != nil {
		return nil, err
	}
	return GetMe200JSONResponse{
		Site: who.Site, User: who.User, Device: who.Device, Role: who.Role, Name: who.Name,
		TokenExpiresAt: who.Expires.UnixMilli(),
	}, nil
}

func (r rest) session(c parley.Credentials) Session {
	who := c.Identity
	return Session{
		Site: who.Site, User: who.User, Device: who.Device, Role: who.Role, Name: who.Name,
		Token: c.Token, TokenExpiresAt: who.Expires.UnixMilli(), RefreshToken: c.RefreshToken,
		Mqtt: MQTT{Path: mqttPath}, ServerTime: r.options.Now().UnixMilli(),
	}
}

// required takes names and values of members that must not be missing or empty.
func required(pairs ...string) error {
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			return parley.Errorf(parley.CodeInvalid, "%s is missing", pairs[i])
		}
	}
	return nil
}

// value returns what an optional member holds, or the zero value.
func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// SignOut signs the caller's device out.
func (r rest) SignOut(ctx context.Context, _ SignOutRequestObject) (SignOutResponseObject, error) {
	who, err := identityOf(ctx)
	if err != nil {
		return nil, err
	}
	if err := r.options.Access.SignOut(ctx, who); err != nil {
		return nil, orUnavailable(err)
	}
	return SignOut204Response{}, nil
}

// SignOutUser signs a user out everywhere.
func (r rest) SignOutUser(ctx context.Context, q SignOutUserRequestObject) (SignOutUserResponseObject, error) {
	who, err := identityOf(ctx)
	if err != nil {
		return nil, err
	}
	if !parley.ValidID(q.User) {
		return nil, parley.Errorf(parley.CodeInvalid, "this is no user's id")
	}
	if err := r.options.Access.SignOutUser(ctx, who, q.User); err != nil {
		return nil, orUnavailable(err)
	}
	return SignOutUser204Response{}, nil
}
