// Dragino LAQ4, in the form of The Things Network 2, with units in the texts and variables that nothing declares.
function Decoder(bytes, port) {
  var decoded = {};
  if (port !== 2) {
    return { errors: ["unknown FPort"] };
  }
  mode = (bytes[2] & 0x7c) >> 2;
  decoded.Bat_V = (((bytes[0] << 8) | bytes[1]) / 1000).toFixed(3) + "V";
  decoded.Work_mode = mode === 31 ? "ALARM" : "Sensor";
  if (mode !== 31) {
    decoded.Alarm_status = bytes[2] & 1 ? "TRUE" : "FALSE";
    decoded.air = { TVOC_ppb: (bytes[3] << 8) | bytes[4], CO2_ppm: (bytes[5] << 8) | bytes[6] };
    decoded.climate = [
      { name: "temperature", value: ((((bytes[7] << 24) >> 16) | bytes[8]) / 10).toFixed(2) + " °C" },
      { name: "humidity", value: ((bytes[9] << 8) | bytes[10]) / 10 + "%" },
    ];
  }
  return decoded;
}
