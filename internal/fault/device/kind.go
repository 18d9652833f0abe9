package device

// Kind is which MQTT client a device runs.
type Kind string

// The kinds.
const (
	Raw5         Kind = "raw, MQTT 5" // our own minimal client
	Raw311       Kind = "raw, MQTT 3.1.1"
	Paho         Kind = "paho"              // Eclipse's, MQTT 3.1.1
	Mosquitto5   Kind = "mosquitto, MQTT 5" // mosquitto_pub and mosquitto_sub
	Mosquitto311 Kind = "mosquitto, MQTT 3.1.1"
	Tunnelled    Kind = "raw, MQTT 5 over HTTP" // Raw5 behind ServeTunnels
	Web          Kind = "TypeScript"            // ours, of browsers, run by node; only as a Process
	Chromium     Kind = "Chromium"              // the same in a browser; only as a Page
)

func (k Kind) version() byte {
	if k == Raw5 || k == Mosquitto5 || k == Tunnelled {
		return MQTT5
	}
	return MQTT311
}
