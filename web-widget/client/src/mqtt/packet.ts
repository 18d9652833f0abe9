// The types of MQTT's packets.

export const connect = 1;
export const connack = 2;
export const publish = 3;
export const puback = 4;
export const subscribe = 8;
export const suback = 9;
export const unsubscribe = 10;
export const unsuback = 11;
export const pingreq = 12;
export const pingresp = 13;
export const disconnect = 14;
