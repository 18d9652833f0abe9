// Identifiers of the MQTT 5 properties that we send or look at.

export const sessionExpiry = 0x11;
export const serverKeepAlive = 0x13;
export const reason = 0x1f;
export const receiveMaximum = 0x21;
export const maximumPacketSize = 0x27;
