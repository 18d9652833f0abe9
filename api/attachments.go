package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/parley-chat/parley"
)

// Attachments takes files and gives them out. Every method checks what who may do and
// answers *parley.Error for refusals; any other error is temporary.
type Attachments interface {
	// Begin starts an upload of size bytes; sum is the SHA-256 of the file in lower-case
	// hex, or empty.
	Begin(ctx context.Context, who parley.Identity, conversation, name string, size int64, sum string) (parley.Attachment, error)
	// Lookup answers CodeNotFound for what who may not see.
	Lookup(ctx context.Context, who parley.Identity, id string) (parley.Attachment, error)
	// Add takes a piece that begins at offset, and returns where it ends.
	Add(ctx context.Context, who parley.Identity, id string, offset int64, r io.Reader) (int64, error)
	// Complete examines an upload that is all there.
	Complete(ctx context.Context, who parley.Identity, id string) (parley.Attachment, error)
	// Discard removes an upload that no message has.
	Discard(ctx context.Context, who parley.Identity, id string) error
	// File returns the bytes, or those of the thumbnail. The caller closes it.
	File(ctx context.Context, who parley.Identity, id string, thumbnail bool) (parley.AttachmentFile, error)
}

// The routes that move bytes, which takes as long as the network does.
const (
	attachmentPath = "/v1/attachments/:attachment"
	completePath   = attachmentPath + "/complete"
	filePath       = attachmentPath + "/file"
	thumbnailPath  = attachmentPath + "/thumbnail"
)

// How long they may take.
const (
	pieceTime     = 2 * time.Minute  // one piece of an upload
	completeTime  = 70 * time.Second // an examination, which ends before that
	downloadStall = 30 * time.Second // in which some bytes must be taken
	downloadTime  = time.Hour        // one download
	answerTime    = 10 * time.Second // what is said about it
)

// takesPiece reports whether a request brings a piece of an upload, which has a limit
// of its own.
func takesPiece(c echo.Context) bool {
	return c.Path() == attachmentPath && c.Request().Method == http.MethodPatch
}

// movesBytes reports whether a request takes as long as the network does.
func movesBytes(c echo.Context) bool {
	switch c.Path() {
	case completePath, filePath, thumbnailPath:
		return true
	}
	return takesPiece(c)
}

// bePatient gives requests that move bytes the time that takes, and ends those that
// stand still.
func bePatient(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		rc, now := http.NewResponseController(c.Response().Writer), time.Now()
		switch {
		case takesPiece(c):
			_ = rc.SetReadDeadline(now.Add(pieceTime)) // where it cannot be set, that of the server stays
			_ = rc.SetWriteDeadline(now.Add(pieceTime + answerTime))
		case c.Path() == completePath:
			_ = rc.SetWriteDeadline(now.Add(completeTime))
		default:
			c.Response().Writer = &patientWriter{c.Response().Writer, rc, now.Add(downloadTime)}
		}
		return next(c)
	}
}

// patientWriter gives each piece of an answer its time.
type patientWriter struct {
	http.ResponseWriter
	controller *http.ResponseController
	end        time.Time
}

func (w *patientWriter) Write(p []byte) (int, error) {
	stall := time.Now().Add(downloadStall)
	if stall.After(w.end) {
		stall = w.end
	}
	_ = w.controller.SetWriteDeadline(stall) // where it cannot be set, that of the server stays
	return w.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (w *patientWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// authenticateFile takes a link in the place of a token.
func (s *Server) authenticateFile(next echo.HandlerFunc) echo.HandlerFunc {
	withToken := s.authenticate(next)
	return func(c echo.Context) error {
		link := c.QueryParam("link")
		if link == "" || c.Request().Header.Get("Authorization") != "" {
			return withToken(c)
		}
		identity, err := s.options.Access.VerifyLink(c.Request().Context(), link, c.Param("attachment"))
		if err != nil {
			return fmt.Errorf("verify link: %w", err)
		}
		who := callerOf(c.Request().Context())
		who.identity, who.signedIn = identity, true
		setCaller(c, who)
		return next(c)
	}
}

// attachments returns who calls, once there is somebody to take attachments and the
// id is one that can exist.
func (r rest) attachments(ctx context.Context, id string) (parley.Identity, Attachments, error) {
	who, err := identityOf(ctx)
	switch {
	case err != nil:
	case r.options.Attachments == nil:
		err = parley.Errorf(parley.CodeNotFound, "this server takes no attachments")
	case !parley.ValidID(id):
		err = parley.Errorf(parley.CodeInvalid, "an id is 1 to %d characters of A-Z a-z 0-9 - _", parley.MaxIDLength)
	}
	return who, r.options.Attachments, err
}

// BeginAttachment starts an upload.
func (r rest) BeginAttachment(ctx context.Context, q BeginAttachmentRequestObject) (BeginAttachmentResponseObject, error) {
	who, keeper, err := r.attachments(ctx, q.Id)
	if err != nil {
		return nil, err
	}
	a, err := keeper.Begin(ctx, who, q.Id, q.Body.Name, q.Body.Size, value(q.Body.Sha256))
	if err != nil {
		return nil, fmt.Errorf("begin attachment: %w", orUnavailable(err))
	}
	return BeginAttachment201JSONResponse(wireAttachment(a)), nil
}

func wireAttachment(a parley.Attachment) Attachment {
	w := Attachment{
		Id: a.ID, Conversation: a.Conversation, Name: a.Name, Size: a.Size, Offset: a.Offset(), Complete: a.Complete(),
		Chunk: parley.MaxAttachmentChunk,
	}
	if a.Complete() {
		w.Offset, w.Type, w.Thumbnail = a.Size, &a.Type, &a.Thumbnail
	}
	if a.Width > 0 {
		w.Width, w.Height = &a.Width, &a.Height
	}
	return w
}

// withLinks adds what opens the bytes without a token.
func (r rest) withLinks(ctx context.Context, a parley.Attachment) (Attachment, error) {
	w := wireAttachment(a)
	if !a.Complete() {
		return w, nil
	}
	link, expires, err := r.options.Access.Link(ctx, callerOf(ctx).token, a.ID)
	if err != nil {
		return w, fmt.Errorf("make link: %w", err)
	}
	path := func(what string) *string {
		p := "/v1/attachments/" + a.ID + "/" + what + "?link=" + url.QueryEscape(link)
		return &p
	}
	end := expires.UnixMilli()
	w.FileUrl, w.UrlsExpireAt = path("file"), &end
	if a.Thumbnail {
		w.ThumbnailUrl = path("thumbnail")
	}
	return w, nil
}

// lookup returns an attachment that the caller may see.
func (r rest) lookup(ctx context.Context, id string) (parley.Attachment, error) {
	who, keeper, err := r.attachments(ctx, id)
	if err != nil {
		return parley.Attachment{}, err
	}
	a, err := keeper.Lookup(ctx, who, id)
	if err != nil {
		return a, fmt.Errorf("get attachment: %w", err)
	}
	return a, nil
}

// GetAttachment tells what an attachment is.
func (r rest) GetAttachment(ctx context.Context, q GetAttachmentRequestObject) (GetAttachmentResponseObject, error) {
	a, err := r.lookup(ctx, q.Attachment)
	if err != nil {
		return nil, err
	}
	w, err := r.withLinks(ctx, a)
	return GetAttachment200JSONResponse(w), err
}

// HeadAttachment tells where an upload is.
func (r rest) HeadAttachment(ctx context.Context, q HeadAttachmentRequestObject) (HeadAttachmentResponseObject, error) {
	a, err := r.lookup(ctx, q.Attachment)
	if err != nil {
		return nil, err
	}
	w := wireAttachment(a)
	return HeadAttachment204Response{Headers: HeadAttachment204ResponseHeaders{UploadLength: &w.Size, UploadOffset: &w.Offset}}, nil
}

// AddToAttachment takes a piece of an upload.
func (r rest) AddToAttachment(ctx context.Context, q AddToAttachmentRequestObject) (AddToAttachmentResponseObject, error) {
	who, keeper, err := r.attachments(ctx, q.Attachment)
	if err != nil {
		return nil, err
	}
	end, err := keeper.Add(ctx, who, q.Attachment, q.Params.UploadOffset, q.Body)
	if err != nil {
		return nil, fmt.Errorf("take a piece: %w", orUnavailable(err))
	}
	return AddToAttachment204Response{Headers: AddToAttachment204ResponseHeaders{UploadOffset: &end}}, nil
}

// CompleteAttachment has an upload examined.
func (r rest) CompleteAttachment(ctx context.Context, q CompleteAttachmentRequestObject) (CompleteAttachmentResponseObject, error) {
	who, keeper, err := r.attachments(ctx, q.Attachment)
	if err != nil {
		return nil, err
	}
	a, err := keeper.Complete(ctx, who, q.Attachment)
	if err != nil {
		return nil, fmt.Errorf("complete attachment: %w", orUnavailable(err))
	}
	w, err := r.withLinks(ctx, a)
	return CompleteAttachment200JSONResponse(w), err
}

// DiscardAttachment removes an upload.
func (r rest) DiscardAttachment(ctx context.Context, q DiscardAttachmentRequestObject) (DiscardAttachmentResponseObject, error) {
	who, keeper, err := r.attachments(ctx, q.Attachment)
	if err != nil {
		return nil, err
	}
	if err := keeper.Discard(ctx, who, q.Attachment); err != nil {
		return nil, fmt.Errorf("discard attachment: %w", orUnavailable(err))
	}
	return DiscardAttachment204Response{}, nil
}

// GetAttachmentFile serves the bytes of an attachment.
func (r rest) GetAttachmentFile(ctx context.Context, q GetAttachmentFileRequestObject) (GetAttachmentFileResponseObject, error) {
	f, err := r.openFile(ctx, q.Attachment, false)
	f.Inline = f.Inline && !value(q.Params.Save)
	return f, err
}

// GetAttachmentThumbnail serves a small picture of a picture.
func (r rest) GetAttachmentThumbnail(ctx context.Context, q GetAttachmentThumbnailRequestObject) (GetAttachmentThumbnailResponseObject, error) {
	f, err := r.openFile(ctx, q.Attachment, true)
	return f, err
}

func (r rest) openFile(ctx context.Context, id string, thumbnail bool) (fileResponse, error) {
	who, keeper, err := r.attachments(ctx, id)
	if err != nil {
		return fileResponse{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, r.options.RequestTimeout) // to find it, not to send it
	defer cancel()
	f, err := keeper.File(ctx, who, id, thumbnail)
	if err != nil {
		return fileResponse{}, fmt.Errorf("open attachment: %w", err)
	}
	return fileResponse{f, callerOf(ctx).request}, nil
}

// fileResponse is bytes from strangers on their way to others.
type fileResponse struct {
	parley.AttachmentFile
	request *http.Request
}

// VisitGetAttachmentFileResponse writes the answer.
func (f fileResponse) VisitGetAttachmentFileResponse(w http.ResponseWriter) error { return f.write(w) }

// VisitGetAttachmentThumbnailResponse writes the answer.
func (f fileResponse) VisitGetAttachmentThumbnailResponse(w http.ResponseWriter) error {
	return f.write(w)
}

// write serves the part that was asked for. Whatever is in it, a browser takes it for
// what its type says, runs nothing of it, and gives it no origin.
func (f fileResponse) write(w http.ResponseWriter) error {
	h := w.Header()
	disposition := "attachment"
	if f.Inline {
		disposition = "inline"
	}
	h.Set("Content-Type", f.Type)
	h.Set("Content-Disposition", mime.FormatMediaType(disposition, map[string]string{"filename": f.Name}))
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'; frame-ancestors 'none'")
	h.Set("Cache-Control", "private, no-cache")
	h.Set("Vary", "Authorization, Origin")
	h.Set("ETag", `"`+f.Tag+`"`)
	content := &tellingReader{ReadSeeker: f}
	http.ServeContent(w, f.request, "", time.Time{}, content)
	if err := errors.Join(content.failed, f.Close()); err != nil {
		return fmt.Errorf("serve attachment: %w", err)
	}
	return nil
}

// tellingReader remembers what http.ServeContent keeps to itself: that the bytes could
// not be read.
type tellingReader struct {
	io.ReadSeeker
	failed error
}

func (r *tellingReader) Read(p []byte) (int, error) {
	n, err := r.ReadSeeker.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		r.failed = err
	}
	return n, err
}
