/*
 * Distances on the earth, taken as a sphere. Any thread.
 */
#ifndef GEO_SPHERE_H
#define GEO_SPHERE_H

/* Kilometres of the shortest way between two points, in degrees; on a sphere of 6371.0088 km. */
double geo_kilometres(double latitude, double longitude, double other_latitude,
                      double other_longitude);

/* Kilometres of one degree along a meridian. */
double geo_kilometres_per_degree(void);

#endif
