/*
 * Distances on the earth, by the haversine formula, which is exact for near points too.
 */
#include "sphere.h"

#include <math.h>

/* Mean radius (IUGG). */
static const double radius = 6371.0088;
static const double radians = 3.14159265358979323846 / 180;

double geo_kilometres(double latitude, double longitude, double other_latitude,
                      double other_longitude)
{
    double north = sin((other_latitude - latitude) * radians / 2);
    double east = sin((other_longitude - longitude) * radians / 2);
    double h =
        north * north + cos(latitude * radians) * cos(other_latitude * radians) * east * east;
    return 2 * radius * asin(sqrt(fmin(1, h)));
}

double geo_kilometres_per_degree(void)
{
    return radius * radians;
}
