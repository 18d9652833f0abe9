package attachment

import (
	"strings"

	"github.com/gabriel-vasile/mimetype"
)

// sniffed is how much of a file tells its type.
const sniffed = 3072

// kind is what is known of a media type that is taken.
type kind struct {
	endings []string // of file names; the first is given to those that have another
	inline  bool     // whether it is shown in pages, which a browser then runs nothing of
}

// kinds are the media types that are taken. HTML, SVG, XML and scripts are not among
// them, since browsers run those; nor are programs, and pictures that we cannot clean.
func kinds() map[string]kind {
	const office, open = "application/vnd.openxmlformats-officedocument.", "application/vnd.oasis.opendocument."
	return map[string]kind{
		"image/jpeg": {[]string{".jpg", ".jpeg", ".jpe", ".jfif"}, true},
		"image/png":  {[]string{".png", ".apng"}, true},
		"image/gif":  {[]string{".gif"}, true},
		"image/webp": {[]string{".webp"}, true},

		"audio/mpeg":      {[]string{".mp3"}, true},
		"audio/ogg":       {[]string{".ogg", ".oga", ".opus"}, true},
		"audio/wav":       {[]string{".wav"}, true},
		"audio/mp4":       {[]string{".m4a", ".mp4"}, true},
		"audio/x-m4a":     {[]string{".m4a"}, true},
		"audio/aac":       {[]string{".aac"}, true},
		"audio/flac":      {[]string{".flac"}, true},
		"audio/amr":       {[]string{".amr"}, false},
		"video/mp4":       {[]string{".mp4", ".m4v"}, true},
		"video/webm":      {[]string{".webm"}, true},
		"video/ogg":       {[]string{".ogv", ".ogg"}, true},
		"video/quicktime": {[]string{".mov"}, false},
		"video/3gpp":      {[]string{".3gp"}, false},

		"application/pdf":           {[]string{".pdf"}, false},
		"application/zip":           {[]string{".zip"}, false},
		"text/plain":                {[]string{".txt", ".log", ".md"}, false},
		"text/csv":                  {[]string{".csv"}, false},
		"text/tab-separated-values": {[]string{".tsv"}, false},
		"application/json":          {[]string{".json"}, false},

		office + "wordprocessingml.document":   {[]string{".docx"}, false},
		office + "spreadsheetml.sheet":         {[]string{".xlsx"}, false},
		office + "presentationml.presentation": {[]string{".pptx"}, false},
		open + "text":                          {[]string{".odt"}, false},
		open + "spreadsheet":                   {[]string{".ods"}, false},
		open + "presentation":                  {[]string{".odp"}, false},
	}
}

// kindOf returns the media type of a file from its beginning; taken is whether it is
// one of kinds. What somebody says about the file plays no part.
func kindOf(head []byte) (mediaType string, taken bool) {
	mediaType, _, _ = strings.Cut(mimetype.Detect(head).String(), ";")
	_, taken = kinds()[mediaType]
	return mediaType, taken
}
